"""HTTP, for any application: caching, compression, cookies, forms, hosts, files."""

"""HTTP: caching, compression, cookies, form tokens, hosts, proxies, static files."""

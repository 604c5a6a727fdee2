"""The views, one module per audience: functions ``(request, **values) -> Response``."""

"""The views, one module an audience: functions ``(request, **values) -> Response``."""

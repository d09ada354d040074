"""The public HTTP server: API, live stream and pages.

Example: build the application for a server.

    app = build_app(feed)
    runner = web.AppRunner(app, access_log=None)
"""

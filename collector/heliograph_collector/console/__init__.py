"""The operator's console at /console: access control, pages and actions.

Example: add the console to the HTTP application.

    access_control = add_routes(app, backend)
    add_route = access_control.route_adder(app)
    AlertPages(access_control, alerts).routes(add_route)
"""

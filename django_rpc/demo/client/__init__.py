"""The example client: another Django project, whose models mirror those of the server."""

"""The example client: another Django project, with mirrors of the models of the server."""

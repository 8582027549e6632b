"""For Django's own contributed apps.  Nothing here is needed for them to work: it makes them send less."""

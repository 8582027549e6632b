"""The example client as a site: Django's admin on mirrors. ``python -m django_rpc demo-admin`` runs it."""

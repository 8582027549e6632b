"""Error reports for clients. A text reaches a client only from a template or from a class marked as public."""

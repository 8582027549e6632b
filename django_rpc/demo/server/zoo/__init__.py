"""One of everything that a Django model can have: fields, keys, inheritance, relations."""

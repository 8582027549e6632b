"""An app of a service that shows less of the shop than the example does, and has a method that fails."""

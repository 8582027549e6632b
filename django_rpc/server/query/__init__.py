"""Django query classes for clients: checked names, guarded columns, and limits of a statement."""

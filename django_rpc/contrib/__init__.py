"""Support for apps that Django contributes. They work without it, and send fewer messages with it."""

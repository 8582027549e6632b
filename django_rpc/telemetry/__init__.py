"""What a service's owner sees: the audit log, spans and metrics, each an observer of messages (`hooks`)."""

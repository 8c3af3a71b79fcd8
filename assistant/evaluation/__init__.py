"""Question sets, metrics and reports. Asks an assistant as any caller would; knows nothing of its inside."""

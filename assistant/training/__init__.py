"""How the two shipped adapters were made: data recipe, training loops, and their one command."""

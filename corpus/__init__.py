"""The shipped glossary, as data."""

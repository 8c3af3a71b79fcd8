"""The chat page. `app` builds and launches it, `render` turns answers into safe HTML."""

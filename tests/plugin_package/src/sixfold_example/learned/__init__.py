"""What the plug-ins learn."""

"""What installs, fetches and starts Linewatch."""

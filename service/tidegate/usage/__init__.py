"""What an exchange costs: estimated from the request before it runs, read from the response while it does. Pure."""

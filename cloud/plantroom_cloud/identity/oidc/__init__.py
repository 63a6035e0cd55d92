"""Log-in at somebody else's: OpenID Connect, authorization code with PKCE, state and nonce."""

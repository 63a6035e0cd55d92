"""What a company may have: its licence, features, and what it uses."""

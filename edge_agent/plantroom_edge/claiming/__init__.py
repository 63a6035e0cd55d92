"""How this gateway comes to be known: its own key, a code on the screen, a certificate, renewals."""

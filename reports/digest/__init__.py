"""The weekly digest: is everything all right, what changed, what should I do? Its content and its forms."""

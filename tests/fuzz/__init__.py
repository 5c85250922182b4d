"""Any bytes in any place where bytes come in: what must hold of each, and every input for which it once did not."""

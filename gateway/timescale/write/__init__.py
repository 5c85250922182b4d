"""The write path: batch, arrange, COPY, settle."""

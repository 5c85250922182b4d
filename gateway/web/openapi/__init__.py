"""What the routes do in, an OpenAPI 3.1 document out. Serves nothing and checks no request; only tells."""

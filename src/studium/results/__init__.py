"""The result store: the SQL database that dashboards, the API and outside tools read."""

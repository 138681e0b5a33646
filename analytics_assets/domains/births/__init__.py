"""The births domain: Brazilian birth records (SINASC) to aggregates by place and time."""

FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pipeline pipeline
COPY store store
COPY workers workers
COPY webapp webapp
RUN pip install --no-cache-dir -c constraints.txt . && useradd --create-home hone && mkdir /data && chown hone /data
USER hone
CMD ["hone", "up"]

# One image for web, workers and inference. TORCH=cpu builds one without CUDA, a tenth of the size.
FROM python:3.12-slim
ARG TORCH=cuda
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY scripts/install.py scripts/install.py
COPY pipeline pipeline
COPY store store
COPY workers workers
COPY webapp webapp
RUN python scripts/install.py --torch "$TORCH" && useradd --create-home hone && mkdir /data && chown hone /data
ENV PATH=/app/.venv/bin:$PATH
USER hone
CMD ["hone", "up"]

# A driver image for scheduled jobs:
# `docker run --init -v /lender:/data IMAGE score --config loan.yaml`.
# Executors need nothing but Spark; the tables' storage must be mounted.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sparkweights
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY sparkweights ./sparkweights
COPY jobs ./jobs
# The lock pins what is installed, and holds the developers' tools as well, which are not.
RUN pip install --no-cache-dir --constraint requirements.lock ".[xgboost]" \
    && useradd --create-home runner \
    && mkdir /data && chown runner /data
USER runner
WORKDIR /data
ENTRYPOINT ["sparkweights"]
CMD ["--help"]

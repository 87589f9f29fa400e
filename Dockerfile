# An image for scheduled jobs, with Spark inside it:
# `docker build -t sparkweights .`, then
# `docker run --init -v /lender:/data sparkweights score --config loan.yaml --run-date 2026-03-01`;
# the user `runner` must be able to write the folder. On a cluster: `--entrypoint spark-submit`,
# with a job of /opt/sparkweights/jobs.
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

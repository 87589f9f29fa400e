# Two images with Spark inside.
# For scheduled jobs on one machine: `docker build -t sparkweights .`, then
# `docker run --init -v /lender:/data sparkweights score --config loan.yaml --run-date 2026-03-01`;
# the user `runner` must be able to write the folder. On a cluster: `--entrypoint spark-submit`,
# with a job of /opt/sparkweights/jobs.
# For the pods of Spark on Kubernetes: `docker build --target kubernetes -t sparkweights-kubernetes .`
FROM python:3.11.17-slim-bookworm@sha256:0a310eeecf4e1f5a0743f9a6520c90c88d089c903ca5fd283f501e3a805f5f89 AS spark
# The base image's list of sources names, in comments, the snapshot of Debian that it was made from.
# Packages come from there, so that the digest pins their versions as well; old lists are valid.
RUN sed -i -e '/^URIs:/d' -e 's/^# http/URIs: http/' /etc/apt/sources.list.d/debian.sources \
    && apt-get -o Acquire::Check-Valid-Until=false update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 runner \
    && mkdir /data && chown runner /data
WORKDIR /opt/sparkweights
COPY requirements-runtime.lock ./
# pyspark is published as source: the base image's setuptools builds it, and none is downloaded.
RUN pip install --no-cache-dir --require-hashes --no-build-isolation -r requirements-runtime.lock
COPY LICENSE ./
COPY jobs ./jobs
COPY sparkweights ./sparkweights
ENV PYTHONPATH=/opt/sparkweights
USER runner
WORKDIR /data

FROM spark AS kubernetes
COPY docker/kubernetes /opt/entrypoint
ENV SPARK_HOME=/usr/local/lib/python3.11/site-packages/pyspark
# By number: Kubernetes cannot tell whether a name is root's.
USER 1000
ENTRYPOINT ["/opt/entrypoint"]

FROM spark
# -P: no module is imported from the folder of the data.
ENTRYPOINT ["python", "-P", "-m", "sparkweights"]
CMD ["--help"]

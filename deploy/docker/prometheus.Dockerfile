# Prometheus from a binary that is here already, such as Debian's, where no registry can be reached:
# scripts/compose-test.sh builds it. Elsewhere the compose file takes the official image.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY prometheus /usr/bin/prometheus
RUN install -d -o 65534 -g 65534 /prometheus
USER 65534:65534
EXPOSE 9090
VOLUME /prometheus
ENTRYPOINT ["prometheus"]

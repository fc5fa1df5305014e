# syntax=docker/dockerfile:1.7
#
#   docker build -t mecabal-messaging .
#
# Two stages: a compiler, and a small Debian with the program and the system's certificate authorities. The second one
# must be of the same Debian release as the first, or no newer in the first: the program is linked to its libc.

FROM rust:1.92.0-slim-bookworm AS build
# jemalloc is built by make; the compiler for it and for aws-lc comes with the image.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# The dependencies, in a layer that only Cargo.toml and Cargo.lock renew: they are most of the work.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked \
    && rm -rf src target/release/messaging target/release/deps/messaging-* target/release/.fingerprint/mecabal-messaging-*

COPY build.rs ./
COPY migrations migrations
COPY nats nats
COPY config/default.toml config/default.toml
COPY src src
RUN cargo build --release --locked && strip --strip-debug target/release/messaging

FROM debian:bookworm-20260824-slim
# For Postgres, NATS, S3 and FCM over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/messaging /usr/local/bin/messaging
# For uploads on their way, should a volume be mounted here (MESSAGING_MEDIA_SPOOL).
RUN install -d -o 10001 -g 10001 /var/spool/messaging
# Nobody of the image's own: a number, so that orchestrators can see that it is not root.
USER 10001:10001
ENV MESSAGING_HOST=0.0.0.0 \
    MESSAGING_PORT=3004 \
    MESSAGING_METRICS_LISTEN=0.0.0.0:9100 \
    MESSAGING_LOG_FORMAT=json
# Clients; operators.
EXPOSE 3004 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["/usr/local/bin/messaging", "health"]
ENTRYPOINT ["/usr/local/bin/messaging"]
CMD ["serve"]

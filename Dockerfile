# syntax=docker/dockerfile:1
# docker build -t registry.example.com/mysql-takeover:0.1.0 .

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# --locked: exactly the reviewed versions. The caches outlive the layer, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin mysql-takeover && \
    install -D target/release/mysql-takeover /out/mysql-takeover

# The C library of the build stage's Debian release and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="mysql-takeover" \
      org.opencontainers.image.description="Hands the primary role of a MySQL replication topology from one instance to another" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/mysql-takeover /usr/local/bin/mysql-takeover
# By number: runAsNonRoot cannot be checked against a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/mysql-takeover"]
CMD ["run"]

FROM golang:1.26 AS build
WORKDIR /src
# A layer of its own: it is made again only when the dependencies change.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/ ./cmd/billing ./cmd/demo

# No shell and no package manager: the binary itself is the health check.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/billing /out/demo /
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=3s --timeout=3s --start-period=10s CMD ["/billing", "healthcheck"]
ENTRYPOINT ["/billing"]

# clothseg-run and clothseg-serve on ONNX Runtime's own library. No shell, no package manager and no other
# user than "nonroot" are in the image; nothing is fetched at run time, and the root may be read-only. docs/install.md says how to
# run it. Targets: cli (the default), serve, gpu.
#
#   docker build -t clothseg .
#   docker build -t clothseg:serve --target serve .
#   docker build -t clothseg:gpu --target gpu --build-arg ONNXRUNTIME=gpu .

ARG DEBIAN=bookworm
ARG RUST=1.95
ARG PYTHON=3.13
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

# The programs. The embedded engine is left out: the image has ONNX Runtime.
FROM rust:${RUST}-slim-${DEBIAN} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p clothseg-cli -p clothseg-server --no-default-features \
        --features clothseg-cli/avif,clothseg-cli/default-model,clothseg-server/default-model \
    && install -D -t /out/usr/bin target/release/clothseg-run target/release/clothseg-serve
RUN install -D -m 644 -t /out/usr/share/doc/clothseg LICENSE-APACHE LICENSE-MIT models/LICENSE models/garments.md

# ONNX Runtime's library out of its wheel, which is what its hash says. ci/container compares the versions with ci/onnxruntime.
FROM python:${PYTHON}-slim-${DEBIAN} AS onnxruntime
ARG ONNXRUNTIME=cpu
WORKDIR /wheel
COPY container/onnxruntime-*.txt ./
RUN pip download --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r "onnxruntime-${ONNXRUNTIME}.txt" \
    && python -m zipfile -e ./*.whl wheel \
    && mkdir -p /out/opt/onnxruntime /out/usr/share/doc/onnxruntime \
    && mv wheel/onnxruntime/LICENSE wheel/onnxruntime/ThirdPartyNotices.txt /out/usr/share/doc/onnxruntime/ \
    && mv wheel/onnxruntime/capi/libonnxruntime*.so* /out/opt/onnxruntime/ \
    && ln -s "$(basename /out/opt/onnxruntime/libonnxruntime.so.*)" /out/opt/onnxruntime/libonnxruntime.so

# The files of the image: programs, library, and of the system what these load and no more.
FROM debian:${DEBIAN}-slim AS files
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY --from=build /out /image
COPY --from=onnxruntime /out /image
COPY container/image-files /usr/local/bin/
RUN image-files /image

FROM scratch AS base
COPY --from=files /image /
ENV ORT_DISABLE_TELEMETRY=1 ORT_DYLIB_PATH=/opt/onnxruntime/libonnxruntime.so
WORKDIR /data
USER 65532:65532

# The libraries of CUDA and cuDNN come with NVIDIA's image.
FROM ${CUDA_IMAGE} AS gpu
COPY --from=build /out /
COPY --from=onnxruntime /out /
ENV ORT_DISABLE_TELEMETRY=1 ORT_DYLIB_PATH=/opt/onnxruntime/libonnxruntime.so
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["/usr/bin/clothseg-run"]
CMD ["--help"]

FROM base AS serve
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["/usr/bin/clothseg-serve", "--health"]
ENTRYPOINT ["/usr/bin/clothseg-serve"]
CMD ["--listen", "0.0.0.0:8080"]

FROM base AS cli
ENTRYPOINT ["/usr/bin/clothseg-run"]
CMD ["--help"]

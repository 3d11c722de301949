# raypipe with everything that requirements.lock pins, for every node of a cluster.
#   docker build --target cuda --tag REGISTRY/raypipe:0.1.0-ray2.60.0-py311-cuda .
#   docker build --target cpu  --tag REGISTRY/raypipe:0.1.0-ray2.60.0-py311-cpu .
# Both are the same layers: PyPI's torch is the CUDA build. It brings CUDA's libraries along, so no CUDA
# base image is needed, and does not even import without them, so the CPU image is no smaller. They
# differ in whether the NVIDIA runtime is asked for the GPUs.
ARG PYTHON=3.11.14
FROM python:${PYTHON}-slim-bookworm AS base

# ssh and rsync: the autoscaler runs in the head's container and sets up workers with them.
# wget: the health checks of older KubeRay operators. Versions are Debian's, fixed with its release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/*

# uid 1000 is also the AMI's user, so files that Ray copies into the container belong to it. ~/.ray is
# made here because Docker would make it root's when it mounts the token.
RUN useradd --create-home --uid 1000 --shell /bin/bash ray \
    && install --directory --owner=ray --group=ray --mode=700 /home/ray/.ray \
    && install --directory --owner=ray --group=ray /mnt/spill

WORKDIR /opt/raypipe

# Dependencies first: 5 GB that do not change with the code. They go where Python itself is, not into a
# virtual environment: Ray runs its commands in a login shell, which resets PATH. The lock is taken as a
# constraint because it also pins the tools of development, which no node needs.
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > /tmp/runtime.txt \
    && pip install --no-cache-dir --constraint requirements.lock --requirement /tmp/runtime.txt \
    && rm /tmp/runtime.txt

COPY README.md LICENSE ./
COPY jobs jobs
COPY raypipe raypipe
# The build backend comes at the lock's version as well.
RUN PIP_CONSTRAINT=requirements.lock pip install --no-cache-dir --no-deps .

# HOME: Ray's launcher reads it from the image to know where ~ is, and takes /root otherwise.
ENV HOME=/home/ray
# A number, not the name: Kubernetes can then tell that it is not root.
USER 1000
WORKDIR /home/ray
# What must not be found out on a node that is paid for; the dashboard's parts take jobs in.
RUN python -c "import ray.dashboard.optional_deps, torch, torchvision" && raypipe --version

FROM base AS cpu

FROM base AS cuda
# Without these two the NVIDIA runtime, which Ray starts containers with, hands over no GPU.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

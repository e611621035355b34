# Palindrome on an NVIDIA GPU. The machine needs a driver for CUDA 13 and NVIDIA's container toolkit, nothing else:
#   docker build -t palindrome-gan .
#   docker run --rm --gpus all --user "$(id -u)" -v "$PWD:/work" palindrome-gan train --device cuda --dataroot DIR
FROM nvidia/cuda:13.0.1-base-ubuntu24.04

# Triton builds its launcher when it first runs, which takes a C compiler and Python's headers.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# First what changes rarely: the exact versions of locks/cuda13.txt. Then the clone.
COPY locks/cuda13.txt /clone/locks/
RUN python3 -m venv /opt/palindrome && /opt/palindrome/bin/pip install --no-cache-dir -r /clone/locks/cuda13.txt
COPY . /clone
RUN /opt/palindrome/bin/pip install --no-cache-dir --no-deps "/clone[cuda13]"

# Whoever runs it: compiled kernels and settings of libraries lie where anybody may write.
ENV PATH=/opt/palindrome/bin:$PATH NUMBA_CACHE_DIR=/tmp/numba TRITON_CACHE_DIR=/tmp/triton MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --create-home palindrome
USER palindrome
WORKDIR /work
ENTRYPOINT ["palindrome-gan"]
CMD ["--help"]

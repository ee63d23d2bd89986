# ixy.ts with everything that its programs import: README.md, "In a container", says how to run it.
FROM denoland/deno:2.9.6
WORKDIR /ixy.ts
COPY deno.json deno.lock demo.ts echo.ts fwd.ts mod.ts nic.ts pcap.ts pktgen.ts ./
COPY explorer/deno.json explorer/
COPY ixgbe ixgbe/
COPY native native/
COPY nic nic/
COPY packets packets/
COPY programs programs/
COPY sim sim/
COPY src src/
COPY virtio virtio/
COPY wrappers wrappers/
COPY xdp xdp/
# Containers then need no network.
RUN deno cache demo.ts echo.ts fwd.ts nic.ts pcap.ts pktgen.ts sim/main.ts programs/forward_worker.ts
ENTRYPOINT ["deno", "run", "--quiet", "--cached-only", "--allow-ffi", "--allow-read", "--allow-write", "--allow-run"]
CMD ["demo.ts"]

/** The Vagrantfile, read by Vagrant without creating machines. */

import { assertEquals, assertMatch } from "@std/assert";
import { isRoot, PROJECT, type Result, run, TemporaryDirectory } from "../support/processes.ts";
import { installPackages } from "../support/packages.ts";
import { VAGRANT_PACKAGES } from "./packages.ts";

/** Longest that Vagrant may take to read a file. */
const VALIDATE_MS = 60000;
/** A stand-in for VirtualBox: Vagrant first asks for its version. */
const VBOXMANAGE = `#!/bin/sh
[ "$1" = --version ] && echo 7.0.20r163906
`;

/** Makes Vagrant read the file. */
async function validate(env: Record<string, string>): Promise<Result> {
  await using directory = await TemporaryDirectory.make();
  await Deno.writeTextFile(directory.file("VBoxManage"), VBOXMANAGE, { mode: 0o755 });
  return await run(["vagrant", "validate"], {
    cwd: PROJECT,
    env: {
      PATH: `${directory.path}:${Deno.env.get("PATH")}`,
      VAGRANT_HOME: directory.file("home"),
      VAGRANT_DOTFILE_PATH: directory.file("machines"),
      VAGRANT_CHECKPOINT_DISABLE: "1",
      VAGRANT_NO_COLOR: "1",
      ...env,
    },
    milliseconds: VALIDATE_MS,
  });
}

for (const provider of ["libvirt", "virtualbox"]) {
  Deno.test({
    name: `The Vagrantfile is valid for ${provider}`,
    ignore: !isRoot, // only root can install Vagrant
    fn: async () => {
      await installPackages(VAGRANT_PACKAGES);
      const { code, stdout, stderr } = await validate({ VAGRANT_DEFAULT_PROVIDER: provider });
      assertEquals(stderr, "");
      assertEquals(stdout, "Vagrantfile validated successfully.\n");
      assertEquals(code, 0);
    },
  });
}

for (
  const [variable, value] of [
    ["IXY_VM_MEMORY", "2G"],
    ["IXY_VM_CPUS", "0"],
    ["IXY_DENO", "/nowhere/deno"],
  ]
) {
  Deno.test({
    name: `The Vagrantfile refuses ${variable}=${value} in one sentence`,
    ignore: !isRoot,
    fn: async () => {
      await installPackages(VAGRANT_PACKAGES);
      const { code, stderr } = await validate({ [variable]: value });
      assertMatch(stderr, new RegExp(`^error: ${variable} takes [^\n]+${value}[^\n]+\n$`));
      assertEquals(code, 2);
    },
  });
}

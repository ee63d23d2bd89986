/** The Vagrantfile as Vagrant reads it; no machine is made. */

import { assertEquals, assertMatch } from "@std/assert";
import { isRoot, PROJECT, type Result, run, TemporaryDirectory } from "../support/processes.ts";
import { installPackages } from "../support/packages.ts";
import { VAGRANT_PACKAGES } from "./packages.ts";

/** How long Vagrant may take to read a file. */
const VALIDATE_MS = 60000;
/** What Vagrant asks VirtualBox before it looks at anything else. */
const VBOXMANAGE = `#!/bin/sh
[ "$1" = --version ] && echo 7.0.20r163906
`;

/** Has Vagrant read the file. */
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
    ignore: !isRoot, // who installs Vagrant
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

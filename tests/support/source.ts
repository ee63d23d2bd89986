/**
 * What the project's TypeScript files import and declare. Not a test itself.
 *
 * Uses Deno's parser through the interface for lint rules, which exists in `deno test` only.
 *
 * @module
 */

import { PROJECT } from "./processes.ts";

/** An import of one file by another. */
export interface Import {
  /** The importing file, by its path in the project. */
  readonly from: string;
  /**
   * The imported file, by its path in the project; a specifier that is not relative, as written.
   */
  readonly to: string;
  /** Whether a URL names it, for a worker or a program to run. */
  readonly url: boolean;
}

/** Relative specifiers. */
const RELATIVE = /^\.\.?\//;
/** Stands for a file that is known only at run time. */
export const NOT_LITERAL = "(not a string literal)";

/** Returns whether a file is TypeScript, with or without JSX. */
export function isSource(file: string): boolean {
  return /\.tsx?$/.test(file);
}

/** Returns a string literal's value; undefined for any other expression. */
function literal(node: Deno.lint.Node | undefined): string | undefined {
  if (node?.type === "TSLiteralType") return literal(node.literal);
  return node?.type === "Literal" && typeof node.value === "string" ? node.value : undefined;
}

/** Returns whether an expression is `import.meta`, or a property of it. */
function isMeta(node: Deno.lint.Node | undefined, name?: string): boolean {
  if (name === undefined) return node?.type === "MetaProperty";
  return node?.type === "MemberExpression" && isMeta(node.object) &&
    node.property.type === "Identifier" && node.property.name === name;
}

/** Visits the syntax tree of a file. */
function visit(file: string, text: string, visitor: Deno.lint.LintVisitor): void {
  const plugin = { name: "tests", rules: { visitor: { create: () => visitor } } };
  Deno.lint.runPlugin(plugin, file, text);
}

/**
 * Returns the imports of a file: `import` and `export … from` of values and types, `import()`,
 * `import("…")` as a type, and TypeScript files named by `new URL("…", import.meta.url)` or
 * `import.meta.resolve("…")`.
 */
export function importsOf(file: string, text: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: string, url = false) => {
    const to = RELATIVE.test(specifier) || url
      ? new URL(specifier, `file:///${file}`).pathname.slice(1)
      : specifier;
    found.push({ from: file, to, url });
  };
  const addUrl = (node: Deno.lint.Node | undefined) => {
    const specifier = literal(node);
    if (specifier !== undefined && isSource(specifier)) add(specifier, true);
  };
  const visitor: Deno.lint.LintVisitor = {
    ImportDeclaration: ({ source }) => add(source.value),
    ExportAllDeclaration: ({ source }) => add(source.value),
    ExportNamedDeclaration: ({ source }) => source && add(source.value),
    ImportExpression: ({ source }) => add(literal(source) ?? NOT_LITERAL),
    TSImportType: ({ argument }) => add(literal(argument) ?? NOT_LITERAL),
    NewExpression({ callee, arguments: [specifier, base] }) {
      const isUrl = callee.type === "Identifier" && callee.name === "URL";
      if (isUrl && isMeta(base, "url")) addUrl(specifier);
    },
    CallExpression({ callee, arguments: [specifier] }) {
      if (isMeta(callee, "resolve")) addUrl(specifier);
    },
  };
  visit(file, text, visitor);
  return found;
}

/**
 * Returns what a file declares outside functions: `name` of variables, functions and types,
 * `Name.member` of classes and interfaces.
 */
export function declarationsOf(file: string, text: string): Set<string> {
  const found = new Set<string>();
  const addMembers = (
    name: string,
    members: (Deno.lint.ClassBody | Deno.lint.TSInterfaceBody)["body"],
  ) => {
    for (const member of members) {
      if (!("key" in member && member.key)) continue;
      if (member.key.type === "Identifier") found.add(`${name}.${member.key.name}`);
      if (member.key.type === "PrivateIdentifier") found.add(`${name}.#${member.key.name}`);
    }
  };
  const addPattern = (id: Deno.lint.Node) => {
    if (id.type === "Identifier") found.add(id.name);
    if (id.type !== "ObjectPattern") return;
    for (const property of id.properties) {
      if (property.type === "Property") addPattern(property.value);
    }
  };
  const addStatement = (statement: Deno.lint.Node | null) => {
    switch (statement?.type) {
      case "ExportNamedDeclaration":
        return addStatement(statement.declaration);
      case "VariableDeclaration":
        return statement.declarations.forEach(({ id }) => addPattern(id));
      case "ClassDeclaration":
      case "TSInterfaceDeclaration":
        if (statement.id === null) return;
        addMembers(statement.id.name, statement.body.body);
        found.add(statement.id.name);
        return;
      case "FunctionDeclaration":
      case "TSTypeAliasDeclaration":
        if (statement.id !== null) found.add(statement.id.name);
    }
  };
  visit(file, text, { Program: ({ body }) => body.forEach(addStatement) });
  return found;
}

/** Returns the paths of the project's files, without those in folders that start with a dot. */
export async function projectFiles(directory = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(PROJECT + directory)) {
    if (name.startsWith(".") || name === "node_modules") continue;
    if (isDirectory) files.push(...await projectFiles(`${directory}${name}/`));
    else files.push(directory + name);
  }
  return files.sort();
}

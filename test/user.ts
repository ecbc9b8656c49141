/** What a user has: a checkout of their own, or the package as `npm pack` makes it, installed in a project. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as v from 'valibot';
import './built.js';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');

/** All that the tests need of a package.json. */
export const manifest = v.parse(
  v.object({
    version: v.string(),
    bin: v.object({ callboard: v.string() }),
    exports: v.record(v.string(), v.object({ types: v.string(), default: v.string() })),
    scripts: v.record(v.string(), v.string()),
    dependencies: v.record(v.string(), v.string()),
  }),
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')),
);

/** How TypeScript is set up in the user's project: as strict as it gets, and the declarations of the package are checked too. */
const userConfig = {
  compilerOptions: {
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
  },
  include: ['*.ts'],
};

/** Somebody who uses Callboard, in temporary folders: each test file puts there what it needs. */
export class User {
  /** An empty home directory for what is run. */
  readonly home: string;
  /** Where `checkOut` puts a checkout. */
  readonly checkout: string;
  /** Where `install` makes a project that depends on the package: its node_modules holds it and its dependencies, and nothing else. */
  readonly project: string;
  readonly #folder: string;
  readonly #programs: Program[] = [];

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'callboard-user-'));
    this.home = join(this.#folder, 'home');
    this.checkout = join(this.#folder, 'checkout');
    this.project = join(this.#folder, 'project');
    mkdirSync(this.home);
  }

  /** A checkout that nobody has built, with the same node_modules. Its tests are left out: they are a quarter of a build. */
  checkOut(): void {
    const ignored = new Set(['node_modules', '.git', 'dist', 'test']);
    for (const name of readdirSync(root)) {
      if (!ignored.has(name)) cpSync(join(root, name), join(this.checkout, name), { recursive: true });
    }
    symlinkSync(modules, join(this.checkout, 'node_modules'));
  }

  /** Packs what is built, and installs it. No network is needed: dependencies are links to those of the real checkout. */
  async install(): Promise<void> {
    // Without its script, which builds once more.
    await this.run('npm', ['pack', '--ignore-scripts', '--pack-destination', this.#folder], root);
    await this.run('tar', ['-xzf', join(this.#folder, `callboard-${manifest.version}.tgz`)], this.#folder);
    mkdirSync(join(this.project, 'node_modules'), { recursive: true });
    renameSync(join(this.#folder, 'package'), join(this.project, 'node_modules', 'callboard'));
    for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
      mkdirSync(dirname(join(this.project, 'node_modules', name)), { recursive: true });
      symlinkSync(join(modules, name), join(this.project, 'node_modules', name));
    }
    writeFileSync(join(this.project, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(this.project, 'tsconfig.json'), JSON.stringify(userConfig));
  }

  /** The environment of what is run. */
  get env(): Record<string, string | undefined> {
    return { PATH: process.env.PATH, HOME: this.home, npm_config_offline: 'true', npm_config_update_notifier: 'false' };
  }

  /** Runs a program to its end. @returns what it wrote to stdout @throws what `execFile` does, if it fails */
  async run(program: string, args: readonly string[], cwd: string): Promise<string> {
    return (await execute(program, args, { cwd, env: this.env, timeout: 60_000 })).stdout;
  }

  /** Compiles the TypeScript files of the project. @throws Error saying what is wrong with them */
  async compile(): Promise<void> {
    const compiler = join(modules, 'typescript', 'bin', 'tsc');
    await this.run(process.execPath, [compiler, '-p', this.project], this.project).catch((error: unknown) => {
      throw new Error(error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error));
    });
  }

  /** Starts a program that goes on until it gets a signal. */
  start(program: string, args: readonly string[], cwd: string): Program {
    const started = new Program(
      spawn(program, args, { cwd, env: this.env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] }),
    );
    this.#programs.push(started);
    return started;
  }

  /** Removes everything, and ends what still runs. */
  remove(): void {
    for (const program of this.#programs) program.signal('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A program that runs until it is told to stop, in a process group of its own, since npm starts it by way of a shell. */
export class Program {
  stdout = '';
  /** The exit code. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.ended = once(child, 'close').then(([code]) => code);
  }

  /** Sends a signal to all of it; nothing if it has ended. */
  signal(name: NodeJS.Signals): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, name);
  }

  /** Resolves once `check` does, to true; it is tried again while it does not. */
  async until(check: () => Promise<boolean>): Promise<void> {
    while (!(await check().catch(() => false))) {
      if (this.#child.exitCode !== null) throw new Error(`it ended with exit code ${this.#child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Resolves to what the group of `pattern` matched, once it is in the output. */
  async said(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.stdout)?.[1];
      if (found !== undefined) return found;
      const { exitCode, stdout } = this.#child;
      if (exitCode !== null || stdout === null) throw new Error(`it ended without ${pattern}:\n${this.stdout}`);
      await Promise.race([once(stdout, 'data'), this.ended]);
    }
  }
}

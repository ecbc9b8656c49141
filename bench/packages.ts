/** What a rival is made of may not be installed: those packages are no dependencies of Callboard. */

/** Why a rival that needs these npm packages can't take part here; undefined where all of them are installed. */
export function missingPackages(...names: string[]): string | undefined {
  const missing = names.filter((name) => !isInstalled(name));
  return missing.length === 0 ? undefined : `npm install ${missing.join(' ')} to have it take part`;
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

package config

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/errors"
)

// Rewrite sets settings in the configuration file at path, by their names, and leaves the rest of it
// as it is. The values are strings, integers and booleans. The file has the old text or the new one,
// whatever happens.
func Rewrite(path string, values map[string]any) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return errors.Wrap(err, "configuration file")
	}
	info, err := os.Stat(path)
	if err != nil {
		return errors.Wrap(err, "configuration file")
	}
	text := rewritten(string(old), values)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return errors.Wrap(err, "configuration file")
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.CombineErrors(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // best effort: it is of no use
		return errors.Wrap(err, "configuration file")
	}
	return nil
}

// rewritten is a file's text with other values. A setting is a line of its own; the names that are
// missing come behind the others, in their order.
func rewritten(text string, values map[string]any) string {
	var names []string
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	for _, name := range names {
		line := name + " = " + literal(values[name])
		i := slices.IndexFunc(lines, func(l string) bool {
			key, _, found := strings.Cut(l, "=")
			return found && strings.Trim(key, " \t\"'") == name
		})
		if i >= 0 {
			lines[i] = line
		} else {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// literal is a value as TOML writes it.
func literal(value any) string {
	switch v := value.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return quoted(value.(string))
}

// quoted is a basic string of TOML.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7F:
			const hex = "0123456789ABCDEF"
			b.WriteString(`\u00` + string([]byte{hex[r>>4], hex[r&15]}))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"rpo/schemas"
)

// frontMatter writes the YAML that the Hub and the datasets library read. Every
// text in it is quoted, so that none can change its structure.
func frontMatter(b *bytes.Buffer, c Card, splits []split, columns []schemas.ColumnType) {
	if c.Dataset != "" {
		fmt.Fprintf(b, "pretty_name: %s\n", quote(c.Dataset))
	}
	switch license := strings.TrimSpace(c.License); {
	case license == "":
	case slices.Contains(hubLicenses, strings.ToLower(license)):
		fmt.Fprintf(b, "license: %s\n", quote(strings.ToLower(license)))
	default:
		fmt.Fprintf(b, "license: other\nlicense_name: %s\n", quote(license))
	}
	b.WriteString("task_categories:\n- text-generation\n")
	b.WriteString("tags:\n- preference\n- rpo\n- dpo\n- instruction-following\n- trl\n")
	total, size := int64(0), int64(0)
	for _, s := range splits {
		total, size = total+s.Rows, size+s.Bytes
	}
	fmt.Fprintf(b, "size_categories:\n- %s\n", quote(sizeCategory(total)))
	if len(splits) > 0 {
		b.WriteString("configs:\n- config_name: default\n  data_files:\n")
		for _, s := range splits {
			fmt.Fprintf(b, "  - split: %s\n    path:\n", quote(s.Name))
			for _, p := range s.Paths {
				fmt.Fprintf(b, "    - %s\n", quote(p))
			}
		}
	}
	b.WriteString("dataset_info:\n  config_name: default\n  features:\n")
	features(b, "  ", columns)
	if len(splits) > 0 {
		b.WriteString("  splits:\n")
		for _, s := range splits {
			fmt.Fprintf(b, "  - name: %s\n    num_bytes: %d\n    num_examples: %d\n", quote(s.Name), s.Bytes, s.Rows)
		}
		fmt.Fprintf(b, "  download_size: %d\n  dataset_size: %d\n", size, size)
	}
}

// features writes columns in the form of the datasets library: a scalar has a
// dtype, a struct its fields, a list either of them.
func features(b *bytes.Buffer, indent string, columns []schemas.ColumnType) {
	for _, c := range columns {
		fmt.Fprintf(b, "%s- name: %s\n", indent, c.Name)
		kind := "struct"
		if c.List {
			kind = "list"
		}
		switch {
		case c.Fields != nil:
			fmt.Fprintf(b, "%s  %s:\n", indent, kind)
			features(b, indent+"  ", c.Fields)
		case c.List:
			fmt.Fprintf(b, "%s  list: %s\n", indent, dtype(c.Scalar))
		default:
			fmt.Fprintf(b, "%s  dtype: %s\n", indent, dtype(c.Scalar))
		}
	}
}

// dtype is the datasets library's name of an Arrow scalar.
func dtype(scalar string) string {
	if scalar == "utf8" {
		return "string"
	}
	return scalar
}

func sizeCategory(n int64) string {
	switch {
	case n < 1_000:
		return "n<1K"
	case n < 10_000:
		return "1K<n<10K"
	case n < 100_000:
		return "10K<n<100K"
	case n < 1_000_000:
		return "100K<n<1M"
	case n < 10_000_000:
		return "1M<n<10M"
	}
	return "n>10M"
}

// quote writes s as a double-quoted YAML scalar on one line. All but printable
// characters are escaped, so the result is valid YAML for any bytes.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// markdown writes s as plain text inside a line of Markdown: no markup, no HTML,
// no line break.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(printable(s)), " ") {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_[]|~#!$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// code writes s as a code span that any text fits into, table cells included.
func code(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(printable(s)), " "), "|", `\|`)
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

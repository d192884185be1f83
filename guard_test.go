package s3writer_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/api.txt anew")

const (
	modulePath = "github.com/seed149ec23d/s3writer"
	apiFile    = "testdata/api.txt"
)

// publicPackages are those that other modules can import, as folders.
var publicPackages = []string{".", "processortest", "s3writertest"}

// TestAPI pins the public surface. A change of testdata/api.txt is a change of
// contract: CHANGELOG.md gives its reason.
func TestAPI(t *testing.T) {
	var got strings.Builder
	for _, dir := range publicPackages {
		p := parsePackage(t, dir).doc
		got.WriteString("package " + p.ImportPath + "\n\n" + strings.Join(apiOf(p), "\n") + "\n\n")
	}
	text := strings.TrimSuffix(got.String(), "\n")
	if *update {
		if err := os.WriteFile(apiFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(apiFile)
	if err != nil {
		t.Fatal(err)
	}
	want, lines := strings.Split(string(golden), "\n"), strings.Split(text, "\n")
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("- %s", line)
		}
	}
	for _, line := range lines {
		if !slices.Contains(want, line) {
			t.Errorf("+ %s", line)
		}
	}
	if t.Failed() || string(golden) != text {
		t.Errorf("the public API differs from %s; if that is meant, go test -run TestAPI -update . and say why in CHANGELOG.md", apiFile)
	}
}

// TestDocComments asks for a comment on everything that is exported, which
// begins with its name, so that it is true on its own in an index. Constants and
// variables may share the comment of their group, or have one behind them; what
// Error() does needs no words.
func TestDocComments(t *testing.T) {
	for _, dir := range publicPackages {
		p := parsePackage(t, dir).doc
		check := func(name, kind, comment string) {
			if !strings.HasPrefix(comment, name+" ") && !strings.HasPrefix(comment, name+":") {
				t.Errorf("%s: %s: the comment begins %q, not with %s", p.Name, kind, firstWords(comment), name)
			}
		}
		functions := func(of string, all []*doc.Func) {
			for _, f := range all {
				if f.Name != "Error" {
					check(f.Name, "func "+of+f.Name, f.Doc)
				}
			}
		}
		values := func(groups []*doc.Value) {
			for _, g := range groups {
				for _, spec := range g.Decl.Specs {
					v := spec.(*ast.ValueSpec)
					if comment := v.Doc.Text(); comment != "" || g.Doc == "" && v.Comment == nil {
						check(v.Names[0].Name, v.Names[0].Name, comment)
					}
				}
			}
		}
		if !strings.HasPrefix(p.Doc, "Package "+p.Name+" ") {
			t.Errorf("%s: the package comment begins %q", p.Name, firstWords(p.Doc))
		}
		values(append(p.Consts, p.Vars...))
		functions("", p.Funcs)
		for _, typ := range p.Types {
			check(typ.Name, "type "+typ.Name, typ.Doc)
			values(append(typ.Consts, typ.Vars...))
			functions("", typ.Funcs)
			functions(typ.Name+".", typ.Methods)
		}
	}
}

func firstWords(s string) string {
	words := strings.Fields(s)
	return strings.Join(words[:min(4, len(words))], " ")
}

// TestExamples asks that every example runs, and that there is one for every
// function of the package.
func TestExamples(t *testing.T) {
	for _, dir := range publicPackages {
		for _, e := range doc.Examples(parsePackage(t, dir).tests...) {
			if e.Output == "" && !e.EmptyOutput {
				t.Errorf("%s: Example%s has no // Output: and is never run", dir, e.Name)
			}
		}
	}
	root := parsePackage(t, ".")
	shown := map[string]bool{}
	for _, f := range root.tests {
		if !strings.HasPrefix(filepath.Base(root.files.Position(f.Package).Filename), "example_") {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "s3writer" {
					shown[s.Sel.Name] = true
				}
			}
			return true
		})
	}
	functions := root.doc.Funcs
	for _, typ := range root.doc.Types {
		functions = append(functions, typ.Funcs...)
	}
	for _, f := range functions {
		if !shown[f.Name] {
			t.Errorf("no example shows %s", f.Name)
		}
	}
}

// parsed is the source of one package.
type parsed struct {
	files *token.FileSet
	doc   *doc.Package
	tests []*ast.File
}

func parsePackage(t *testing.T, dir string) parsed {
	t.Helper()
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := parsed{files: token.NewFileSet()}
	parse := func(names ...string) (files []*ast.File) {
		for _, name := range names {
			f, err := parser.ParseFile(out.files, filepath.Join(dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		return files
	}
	out.tests = parse(slices.Concat(p.TestGoFiles, p.XTestGoFiles)...)
	out.doc, err = doc.NewFromFiles(out.files, parse(p.GoFiles...), path.Join(modulePath, dir))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apiOf lists what a package exports, a line each, sorted. Every line stands for
// itself, so that a diff needs no context.
func apiOf(p *doc.Package) []string {
	var api surface
	api.values(p.Consts, p.Vars)
	api.functions(p.Funcs)
	for _, t := range p.Types {
		api.typ(t.Decl.Specs[0].(*ast.TypeSpec))
		api.values(t.Consts, t.Vars)
		api.functions(t.Funcs)
		api.functions(t.Methods)
	}
	slices.Sort(api)
	return api
}

type surface []string

func (s *surface) add(parts ...string) { *s = append(*s, strings.Join(parts, "")) }

func (s *surface) functions(all []*doc.Func) {
	for _, f := range all {
		signature := strings.TrimPrefix(source(f.Decl.Type), "func")
		if f.Recv == "" {
			s.add("func ", f.Name, signature)
		} else {
			s.add("method (", f.Recv, ") ", f.Name, signature)
		}
	}
}

// values lists constants and variables. A constant that repeats the expression
// above it has its number in the group, which iota is.
func (s *surface) values(groups ...[]*doc.Value) {
	for _, g := range slices.Concat(groups...) {
		var typ ast.Expr
		var exprs []ast.Expr
		for i, spec := range g.Decl.Specs {
			v := spec.(*ast.ValueSpec)
			if g.Decl.Tok == token.VAR || v.Type != nil || v.Values != nil {
				typ, exprs = v.Type, v.Values
			}
			for j, name := range v.Names {
				line := g.Decl.Tok.String() + " " + name.Name
				if typ != nil {
					line += " " + source(typ)
				}
				if g.Decl.Tok == token.CONST && j < len(exprs) {
					line += " = " + strings.ReplaceAll(source(exprs[j]), "iota", strconv.Itoa(i))
				}
				s.add(line)
			}
		}
	}
}

func (s *surface) typ(t *ast.TypeSpec) {
	switch u := t.Type.(type) {
	case *ast.StructType:
		s.add("type ", t.Name.Name, " struct")
		s.fields(t.Name.Name+" struct, ", u.Fields)
	case *ast.InterfaceType:
		s.add("type ", t.Name.Name, " interface")
		s.fields(t.Name.Name+" interface, ", u.Methods)
	default:
		s.add("type ", t.Name.Name, " ", source(u))
	}
}

func (s *surface) fields(of string, list *ast.FieldList) {
	for _, f := range list.List {
		what := source(f.Type)
		if _, method := f.Type.(*ast.FuncType); method && strings.HasSuffix(of, "interface, ") {
			what = strings.TrimPrefix(what, "func")
		} else {
			what = " " + what
		}
		if f.Names == nil {
			s.add("type ", of, "embedded", what)
		}
		for _, name := range f.Names {
			s.add("type ", of, name.Name, what)
		}
	}
}

// source prints an expression on one line.
func source(n ast.Expr) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), n); err != nil {
		panic(err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// imports are what each package may import besides the standard library: of
// this module by folder, of others by path. An entry stands for all below it.
// Do not change this list to make a build pass; move the code.
var imports = map[string][]string{
	"internal/record": {},
	"internal/chain":  {"internal/record", "github.com/klauspost/compress", "golang.org/x/text"},
	"internal/upload": {"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "github.com/minio/crc64nvme"},
	".": {"internal/record", "internal/chain", "internal/upload",
		"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "github.com/klauspost/compress/flate"},
	"processortest": {modulePath, "internal/chain", "internal/record", "github.com/aws/aws-sdk-go-v2", "github.com/klauspost/compress/zstd"},
	"s3writertest":  {"github.com/aws/aws-sdk-go-v2", "github.com/johannesboyne/gofakes3", "github.com/minio/crc64nvme"},
}

// sdkFiles are the files of the root package that know the AWS SDK; the others
// are about tables. Do not change this list to make a build pass; move the code.
var sdkFiles = []string{"client.go", "credentials.go", "object.go", "options.go", "table.go"}

// dependencies are the modules that this one imports, in tests too. The default
// answer to another is no; heavy ones and optional ones have a module of their own.
var dependencies = []string{
	"github.com/aws/aws-sdk-go-v2",
	"github.com/aws/aws-sdk-go-v2/config",
	"github.com/aws/aws-sdk-go-v2/credentials",
	"github.com/aws/aws-sdk-go-v2/service/s3",
	"github.com/aws/aws-sdk-go-v2/service/sts",
	"github.com/aws/smithy-go",
	"github.com/johannesboyne/gofakes3",
	"github.com/klauspost/compress",
	"github.com/minio/crc64nvme",
	"go.uber.org/goleak",
	"golang.org/x/text",
}

// TestImports holds the import graph record ← chain ← s3writer → upload.
func TestImports(t *testing.T) {
	for dir, p := range modulePackages(t) {
		allowed, listed := imports[dir]
		if !listed {
			t.Errorf("package %s has no line in imports: say what it may import", dir)
		}
		for _, imported := range p.Imports {
			short := strings.TrimPrefix(imported, modulePath+"/")
			below := func(a string) bool { return short == a || strings.HasPrefix(short, a+"/") }
			if !standard(imported) && !slices.ContainsFunc(allowed, below) {
				t.Errorf("package %s imports %s: move the code to where that belongs", dir, short)
			}
		}
	}
}

func TestFilesThatKnowTheSDK(t *testing.T) {
	var got []string
	for imported, places := range modulePackages(t)["."].ImportPos {
		if !strings.HasPrefix(imported, "github.com/aws/") {
			continue
		}
		for _, place := range places {
			got = append(got, filepath.Base(place.Filename))
		}
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, sdkFiles) {
		t.Errorf("the AWS SDK is imported by %q, not by %q: move the code", got, sdkFiles)
	}
}

func TestDependencies(t *testing.T) {
	required := requirements(t)
	used := map[string]bool{}
	for _, p := range modulePackages(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if standard(imported) || imported == modulePath || strings.HasPrefix(imported, modulePath+"/") {
				continue
			}
			used[moduleOf(imported, required)] = true
		}
	}
	if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, dependencies) {
		t.Errorf("imported modules:\n got %q\nwant %q", got, dependencies)
	}
	for module, direct := range required {
		if direct && !slices.Contains(dependencies, module) {
			t.Errorf("go.mod requires %s, which is not among the dependencies", module)
		}
	}
}

// modulePackages are the packages of this module by folder, nested modules
// left out.
func modulePackages(t *testing.T) map[string]*build.Package {
	t.Helper()
	out := map[string]*build.Package{}
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		_, errMod := os.Stat(filepath.Join(dir, "go.mod"))
		if dir != "." && (errMod == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return filepath.SkipDir
		}
		if p, err := build.ImportDir(dir, 0); err == nil {
			out[filepath.ToSlash(dir)] = p
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("found %d packages: %v", len(out), err)
	}
	return out
}

func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// requirements are the modules of go.mod, and whether each is required for
// itself rather than by another.
func requirements(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) >= 2 && strings.HasPrefix(fields[1], "v") && strings.Contains(fields[0], ".") {
			out[fields[0]] = !strings.Contains(line, "// indirect")
		}
	}
	return out
}

// moduleOf finds the module of a package: the one with the longest path.
func moduleOf(imported string, required map[string]bool) string {
	for p := imported; p != "."; p = path.Dir(p) {
		if _, ok := required[p]; ok {
			return p
		}
	}
	return imported
}

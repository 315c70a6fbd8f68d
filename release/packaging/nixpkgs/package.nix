# A paragraph for nixpkgs: pkgs/by-name/co/coredns-caa/package.nix. For a release, write its number into `version`, and what
# `nix-build -A coredns-caa` says into the two hashes.
{ lib, buildGoModule, fetchFromGitHub }:

buildGoModule (finalAttrs: {
  pname = "coredns-caa";
  version = "0.0.0";

  src = fetchFromGitHub {
    owner = "coredns-caa";
    repo = "caa";
    tag = "v${finalAttrs.version}";
    hash = lib.fakeHash;
  };
  vendorHash = lib.fakeHash;

  env.CGO_ENABLED = 0;
  subPackages = [ "cmd/coredns" "cmd/caacheck" ];
  # The tests start name servers and resolvers of other packages.
  doCheck = false;

  postInstall = ''
    mv $out/bin/coredns $out/bin/coredns-caa
  '';

  meta = {
    description = "CoreDNS with a plugin that makes and signs CAA records from a policy, and a checker of CAA";
    homepage = "https://github.com/coredns-caa/caa";
    changelog = "https://github.com/coredns-caa/caa/blob/v${finalAttrs.version}/CHANGELOG.md";
    license = lib.licenses.asl20;
    mainProgram = "coredns-caa";
    platforms = lib.platforms.unix;
  };
})

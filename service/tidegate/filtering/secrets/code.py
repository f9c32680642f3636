"""Tokens of code hosts, build servers, package registries and quality gates.

Compared with the patterns that gitleaks publishes by default: GitLab (all prefixes but `glcbt-`), Atlassian, npm, PyPI,
RubyGems, Clojars, Travis CI, Snyk, Sourcegraph, Postman, ReadMe, Octopus Deploy, Prefect, Harness. Compared with those
of kingfisher: crates.io, Buildkite, CircleCI. Of GitLab's routable tokens the part behind the last dot, a length and a
checksum, is left.

Commonly known, and not compared: the lengths of GitHub's tokens, Bitbucket, NuGet, Docker Hub, JFrog, Codecov,
SonarQube, LaunchDarkly.
"""

from __future__ import annotations

from tidegate.filtering.detector import FRESH, Detector, whole
from tidegate.filtering.secrets.token import (
    ALNUM,
    HEX,
    HEX_BOTH,
    LOWER,
    MADE_UP_UUID,
    TOKEN_CAP,
    UPPER,
    UUID,
    WORD,
    made_up,
    named,
    shaped,
    token,
)

CODE: tuple[Detector, ...] = (
    Detector(
        entity="GITHUB_TOKEN",
        name="github",
        check="shape",
        sign=r"gh[pousr]_|github_pat_",
        guard=FRESH,
        body=r"gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{22,}",
        trigger=r"gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{22}",
        run=r"[0-9A-Za-z_]",
        limit=TOKEN_CAP,
        positives=(
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789",
        ),
        negatives=(
            "ghp_short",
            "ghx_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_",
            "ghp_16C7e42F-92c6912E7710c838347Ae178B4a",
        ),
    ),
    token("GITLAB_TOKEN", "gitlab", ("glpat-", "gldt-", "glrt-", "glsoat-", "glffct-"), WORD, 20, None),
    token("GITLAB_TOKEN", "gitlab-trigger", "glptt-", HEX, 40),
    token("GITLAB_TOKEN", "gitlab-runner", "GR1348941", WORD, 20),
    token("GITLAB_TOKEN", "gitlab-other", ("glft-", "glimt-", "glagent-", "gloas-", "glcbt-"), WORD, 20, None),
    token("BITBUCKET_TOKEN", "bitbucket-app-password", "ATBB", ALNUM, 32),
    token("ATLASSIAN_TOKEN", "atlassian", ("ATATT3", "ATCTT3"), "0-9A-Za-z_=-", 80, None),
    token("NPM_TOKEN", "npm", "npm_", ALNUM, 36),
    token("PYPI_TOKEN", "pypi", "pypi-Ag", WORD, 50, None),
    token("RUBYGEMS_TOKEN", "rubygems", "rubygems_", HEX, 48),
    token("CRATES_TOKEN", "crates-io", "cio", ALNUM, 32),
    token("NUGET_KEY", "nuget", "oy2", LOWER, 43),
    token("CLOJARS_TOKEN", "clojars", "CLOJARS_", LOWER, 60),
    token("DOCKER_TOKEN", "docker-hub", "dckr_pat_", WORD, 27),
    token("DOCKER_TOKEN", "docker-hub-organisation", "dckr_oat_", WORD, 32),
    token("ARTIFACTORY_TOKEN", "artifactory", "AKCp", ALNUM, 69),
    token("ARTIFACTORY_TOKEN", "artifactory-reference", "cmVmdGtu", ALNUM, 56),
    token("BUILDKITE_TOKEN", "buildkite", "bkua_", LOWER, 40),
    shaped(
        "CIRCLECI_TOKEN",
        "circleci",
        "CCIP(?:AT|RJ)_",
        "[0-9A-Za-z]{22}_[0-9a-f]{40}",
        tuple(f"{kind}_{made_up(ALNUM, 22)}_{made_up(HEX, 40)}" for kind in ("CCIPAT", "CCIPRJ")),
        (f"CCIPAT_{made_up(ALNUM, 22)}_{made_up(HEX, 39)}", "CCIPAT_x"),
    ),
    named("TRAVIS_TOKEN", "travis-ci", "travis|travis[_ .-]?ci", WORD, 22),
    named("CODECOV_TOKEN", "codecov", "codecov", HEX, 36, body=UUID, sample=MADE_UP_UUID),
    named("SNYK_TOKEN", "snyk", "snyk", HEX, 36, body=UUID, sample=MADE_UP_UUID),
    token("SOURCEGRAPH_TOKEN", "sourcegraph", ("sgp_", "sgp_local_"), HEX_BOTH, 40),
    shaped(
        "SOURCEGRAPH_TOKEN",
        "sourcegraph-instance",
        "sgp_[0-9A-Fa-f]{16}_",
        "[0-9A-Fa-f]{40}",
        (f"sgp_{made_up(HEX, 16)}_{made_up(HEX, 40)}",),
        (f"sgp_{made_up(HEX, 16)}_{made_up(HEX, 39)}", "sgp_short_name"),
    ),
    token("SONARQUBE_TOKEN", "sonarqube", ("sqp_", "squ_", "sqa_"), HEX, 40),
    shaped(
        "POSTMAN_KEY",
        "postman",
        "PMAK-",
        "[0-9a-f]{24}-[0-9a-f]{34}",
        (f"PMAK-{made_up(HEX, 24)}-{made_up(HEX, 34)}",),
        (f"PMAK-{made_up(HEX, 24)}-{made_up(HEX, 33)}", f"PMAK-{made_up(HEX, 24)}"),
    ),
    token("README_KEY", "readme", "rdme_", LOWER, 70),
    token("OCTOPUS_DEPLOY_KEY", "octopus-deploy", "API-", UPPER, 26),
    token("PREFECT_KEY", "prefect", "pnu_", ALNUM, 36),
    shaped(
        "HARNESS_KEY",
        "harness",
        r"[ps]at\.[0-9A-Za-z_-]{22}\.",
        r"[0-9A-Za-z]{24}\.[0-9A-Za-z]{20}",
        (f"pat.{made_up(ALNUM, 22)}.{made_up(HEX, 24)}.{made_up(ALNUM, 20)}",),
        (f"pat.{made_up(ALNUM, 22)}.{made_up(HEX, 24)}", "pat.on.the.back"),
    ),
    shaped(
        "LAUNCHDARKLY_KEY",
        "launchdarkly",
        "(?:sdk|mob|api)-[0-9a-f]{8}-",
        "[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        (f"sdk-{MADE_UP_UUID}", f"api-{MADE_UP_UUID}"),
        (f"sdk-{MADE_UP_UUID}0", f"ids-{MADE_UP_UUID}"),
        accept=whole,
    ),
)
